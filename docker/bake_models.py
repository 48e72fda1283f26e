"""Load the default text model on each backend of the image, which exports and caches its graphs."""

from tracktokens.pipelines.encoder_config import TextEncoderConfig, make_text_encoder

BAKED = (("torch", None), ("onnx", None), ("onnx", "int8"), ("openvino", None))
"""Backend and precision of each variant."""

if __name__ == "__main__":
    for backend, precision in BAKED:
        encoder = make_text_encoder(TextEncoderConfig(backend=backend, precision=precision), "cpu")
        encoder.load(threads=1).probe()
        print(backend, precision or "default", encoder.encoder_id)
