// Package proto is the wire form of the contract between a host and a process plugin, generated from plugin.proto.
// It holds no behaviour. Authors of Go plugins use the package process instead; authors of plugins in other languages
// generate from plugin.proto.
package proto

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative plugin.proto
