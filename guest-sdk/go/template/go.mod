module seats

go 1.24

require atomic-store.example/guest v0.0.0

// Where the folder guest-sdk/go of your copy of Atomic Store is.
replace atomic-store.example/guest => ../
