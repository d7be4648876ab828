"""What the module sysconfig knows of how this Python was built: that it has no files of its own."""
build_time_vars = {"TZPATH": "", "HOST_GNU_TYPE": "wasm32-wasi", "EXT_SUFFIX": ".so", "SIZEOF_VOID_P": 4}
