"""Compiles the standard library and the kit for the engine.

    python3.11 freeze.py LIB KIT OUT

LIB is the library of CPython, KIT the folder of the module uniflow. What is
needed while Python starts becomes frozen.inc, all else is packed: library.inc
and library.bin.
"""
import marshal
import pathlib
import sys
import zlib

BOOTSTRAP = {
    "_frozen_importlib": "importlib._bootstrap",
    "_frozen_importlib_external": "importlib._bootstrap_external",
    "zipimport": "zipimport",
}
LIBRARY = """abc codecs io _collections_abc genericpath posixpath os stat
encodings encodings.aliases encodings.utf_8""".split()

# What has no use in a sandbox without processes, sockets, threads and screens,
# or needs a library that the engine has not.
LEFT_OUT = set("""
__hello__ __phello__ _aix_support _bootsubprocess _osx_support _sitebuiltins antigravity
asynchat asyncio asyncore bdb bz2 cProfile cgi cgitb crypt ctypes curses dbm distutils
doctest ensurepip ftplib idlelib imaplib imghdr lib2to3 lzma mailbox mailcap msilib
multiprocessing nntplib pdb pickletools pipes poplib profile pstats pty pyclbr pydoc
pydoc_data selectors smtpd smtplib sndhdr socket socketserver sqlite3 ssl subprocess sunau
telnetlib test this tkinter trace tty turtle turtledemo uu venv webbrowser wsgiref xdrlib
xmlrpc
""".split())
ENCODINGS = set("""__init__ aliases ascii base64_codec charmap cp1250 cp1251 cp1252 cp437
cp850 cp852 hex_codec idna iso8859_1 iso8859_15 iso8859_2 latin_1 mac_roman punycode quopri_codec
raw_unicode_escape rot_13 undefined unicode_escape utf_16 utf_16_be utf_16_le utf_32
utf_32_be utf_32_le utf_7 utf_8 utf_8_sig uu_codec zlib_codec""".split())


# Modules that stand for what the sandbox has not.
ABSENT = pathlib.Path(__file__).with_name("absent")


def wanted(path):
    parts = path.with_suffix("").parts
    if parts[0] in LEFT_OUT or "test" in parts or "tests" in parts or "__pycache__" in parts:
        return False
    return parts[0] != "encodings" or parts[-1] in ENCODINGS


def module_of(path):
    parts = list(path.with_suffix("").parts)
    package = parts[-1] == "__init__"
    return ".".join(parts[:-1] if package else parts), package


def compiled(path, name):
    code = compile(path.read_bytes(), f"<frozen {name}>", "exec", dont_inherit=True, optimize=2)
    return marshal.dumps(code)


def sources(lib, kit):
    """Yields name, whether it is a package, and path of all modules, sorted."""
    found = {}
    for folder, pattern in ((lib, "**/*.py"), (kit, "uniflow.py"), (ABSENT, "*.py")):
        for path in folder.glob(pattern):
            relative = path.relative_to(folder)
            if folder != lib or wanted(relative):
                name, package = module_of(relative)
                found[name] = (package, path)
    return [(name, *found[name]) for name in sorted(found, key=str.encode)]


def write_frozen(lib, driver, out):
    lines = []
    tables = {"frozen_bootstrap": BOOTSTRAP, "frozen_library": {name: name for name in LIBRARY} | {"_uniflow_driver": None}}
    for table, modules in tables.items():
        entries = []
        for alias, name in modules.items():
            if name is None:
                path, package = driver, False
            else:
                path = lib / (name.replace(".", "/") + ".py")
                package = not path.exists()
                path = lib / name.replace(".", "/") / "__init__.py" if package else path
            data = compiled(path, name or alias)
            symbol = "code_" + alias.replace(".", "__")
            (out / (symbol + ".bin")).write_bytes(data)
            lines.append(f'static const unsigned char {symbol}[] = {{\n#embed "{symbol}.bin"\n}};')
            entries.append(f'    {{"{alias}", {symbol}, {len(data)}, {int(package)}, NULL}},')
            if alias == "posixpath":
                entries.append(f'    {{"os.path", {symbol}, {len(data)}, 0, NULL}},')
        lines += [f"static const struct _frozen {table}[] = {{", *entries, "    {0},", "};"]
    (out / "frozen.inc").write_text("\n".join(lines) + "\n")


def write_packed(lib, kit, out):
    blob, entries = bytearray(), []
    for name, package, path in sources(lib, kit):
        if name in LIBRARY or name in BOOTSTRAP.values():
            continue
        data = compiled(path, name)
        packed = zlib.compress(data, 9)
        entries.append(f'    {{"{name}", {int(package)}, {len(blob)}, {len(packed)}, {len(data)}}},')
        blob += packed
    (out / "library.bin").write_bytes(blob)
    (out / "library.inc").write_text("\n".join([
        'static const unsigned char packed_library[] = {\n#embed "library.bin"\n};',
        "static const packed_module packed_modules[] = {", *entries, "};", ""]))
    print(f"freeze: {len(entries)} modules, {len(blob)} bytes", file=sys.stderr)


def main():
    lib, kit, out = (pathlib.Path(a) for a in sys.argv[1:4])
    if sys.version_info[:2] != (3, 11):
        sys.exit("freeze: Python 3.11 is needed, its bytecode is that of the engine")
    write_frozen(lib, pathlib.Path(__file__).with_name("driver.py"), out)
    write_packed(lib, kit, out)


main()
