"""Written by `scripts/protos` from the .proto files beside this folder; never edited by hand."""
