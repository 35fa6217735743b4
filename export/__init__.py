"""Torch to files: BatchNorm folding, NIR out and in, ONNX, golden vectors. The last place where torch exists."""

if __name__ == "export":
    raise ImportError(
        "write `from filopodia import export`: this folder is the package filopodia.export, not a top-level module"
    )
