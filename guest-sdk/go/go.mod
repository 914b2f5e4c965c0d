module atomic-store.example/guest

go 1.24
