"""What is asked, and how it is answered: HTTP, gRPC, tensors, and the documents that describe them."""
