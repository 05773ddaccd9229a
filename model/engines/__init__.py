"""What computes a captioner. `torch` is the reference; `int8` is the same network in eight bits, for CPUs.

engine          the interface, and the names
torch_engine    float32, or float16 on a GPU
int8            the converted graphs in ONNX Runtime
opening         a version's folder to a captioner on the engine asked for, or on torch with the reason why
converting      makes the graphs: calibration, encoder_graph, decoder_graph; judges them: verdict; keeps them: entries
"""
