// Package arch keeps the shape of the project: who may import whom, how long
// a function or a file may grow, which names and words are out, and whether
// docs/ABI.md says what sdk/abi says.
//
// It holds rules as data and the functions that check them; its tests run the
// rules over the whole module and fail with the file, the reason and what to
// do instead. It reads source text only: it imports the standard library, runs
// no tool and no project code, and nothing outside its tests may depend on it.
package arch
