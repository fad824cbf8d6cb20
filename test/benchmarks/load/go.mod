module stowage/load

go 1.24
