"""What the public modules of retinue stand on. Nothing here is for programs to import: names and places may change."""
