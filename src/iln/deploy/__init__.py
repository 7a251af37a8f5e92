"""Other engines and formats: OpenVINO, exported graphs, 8 and 4 bits, rescue for half precision."""
