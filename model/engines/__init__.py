"""What computes a captioner. `torch` is the reference; the others are the same network in eight bits, for CPUs.

engine          the interface, and the names
torch_engine    float32, or float16 on a GPU
int8            the converted graphs: openvino_runtime for the encoder, onnx_runtime for either part
opening         a version's folder to a captioner on the engine asked for, or on the next one with the reason why
converting      makes the graphs: calibration, rounding, encoder_graph with a writer for each runtime, decoder_graph;
                judges them: verdict; keeps them: entries
"""
