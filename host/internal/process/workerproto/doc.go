// Package workerproto is the wire form of what a host and its worker processes say to one another, generated from
// worker.proto. It holds no behaviour.
package workerproto

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative worker.proto
