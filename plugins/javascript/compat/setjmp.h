/* QuickJS includes this header and uses nothing of it; Wasm has no such jumps. */
