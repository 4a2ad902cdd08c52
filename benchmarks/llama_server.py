"""llama.cpp's server as the wheel ``xllamacpp`` has it, where nothing can be compiled.

    python -m venv llama && llama/bin/pip install --no-deps xllamacpp
    python benchmarks/llama_cpp.py --server llama/bin/python benchmarks/llama_server.py

The wheel is built for any processor with AVX2. Compiled for the processor itself, llama.cpp may be much faster: it has
kernels of its own for AVX-512, VNNI and AMX.
"""

from __future__ import annotations

import argparse
import threading

import xllamacpp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    for name in ("port", "threads", "threads-batch", "parallel", "ctx-size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--no-webui", action="store_true")
    options = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.hostnames = [options.host]
    params.port, params.n_parallel, params.n_ctx = options.port, options.parallel, options.ctx_size
    params.cpuparams.n_threads, params.cpuparams_batch.n_threads = options.threads, options.threads_batch
    params.ui = not options.no_webui
    server = xllamacpp.Server(params)
    print(f"{xllamacpp.get_system_info()}\n{server.listening_address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
