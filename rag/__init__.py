"""rag: documents in, index out, cited answers."""
