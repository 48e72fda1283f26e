# One image for the driver and the workers: Beam's SDK container with tracktokens, the default text model and its graphs.
#
#   docker build -t IMAGE .                          CPU
#   docker build -t IMAGE --build-arg DEVICE=cuda .  GPU, with the CUDA libraries of PyTorch's wheels
#
# Workers start Beam's entry point. The driver starts the command line:
#   docker run --entrypoint tracktokens IMAGE run ...

ARG BEAM_VERSION=2.77.0
FROM apache/beam_python3.11_sdk:${BEAM_VERSION}

ARG DEVICE=cpu
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu

# The same kernels on every machine: without it, OpenBLAS chooses them by processor, and vectors differ in the last bits.
# Haswell has AVX2, as all x86 machine types of Google Cloud.
ENV OPENBLAS_CORETYPE=Haswell \
    TRACKTOKENS_CACHE=/opt/tracktokens/cache \
    DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

# Where Dataflow mounts the driver of a GPU; without effect on a CPU.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/usr/local/nvidia/bin:${PATH} \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64

# The locks are complete, so that pip resolves nothing. PyPI has no CPU build of torch for Linux.
COPY docker/requirements-cpu.lock docker/requirements-cuda.lock /opt/tracktokens/locks/
RUN set -eu; \
    lock="/opt/tracktokens/locks/requirements-${DEVICE}.lock"; \
    test -f "$lock" || { echo "DEVICE=${DEVICE}: give cpu or cuda" >&2; exit 2; }; \
    if [ "${DEVICE}" = cpu ]; then \
        grep -E '^(torch|torchvision)==' "$lock" > /tmp/torch.txt; \
        pip install --no-deps --index-url "${TORCH_CPU_INDEX}" -r /tmp/torch.txt; \
    fi; \
    pip install --no-deps -r "$lock"

COPY setup.py README.md /opt/tracktokens/source/
COPY schemas /opt/tracktokens/source/schemas
COPY codebooks /opt/tracktokens/source/codebooks
COPY serving /opt/tracktokens/source/serving
COPY transforms /opt/tracktokens/source/transforms
COPY pipelines /opt/tracktokens/source/pipelines
RUN pip install --no-deps /opt/tracktokens/source

# Export the graphs of the default text model now: workers would each export them on first use.
COPY docker/bake_models.py /opt/tracktokens/
RUN python /opt/tracktokens/bake_models.py

# A model of your own: COPY it to a path, and give that path, for example --text-model /opt/models/e5.
