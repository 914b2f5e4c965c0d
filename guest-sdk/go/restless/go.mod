module restless

go 1.24

require atomic-store.example/guest v0.0.0

replace atomic-store.example/guest => ../
