# Two images from this repository: `server` (no PyTorch in it) and `worker`.
#   docker build --target server -t hpsearch-server .
#   docker build --target worker -t hpsearch-worker .                            # PyTorch for the CPU
#   docker build --target worker -t hpsearch-worker --build-arg TORCH=cuda .     # the registry's build, with CUDA
#   docker build --target worker -t hpsearch-worker --build-arg TORCH=cu128 .    # for one version of CUDA
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS server-packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/hpsearch/bin:$PATH
WORKDIR /source
RUN python -m venv /opt/hpsearch
# The dependencies before the code, around an empty package: a change of code downloads nothing again.
COPY pyproject.toml ./
RUN mkdir hpsearch && touch hpsearch/__init__.py README.md LICENSE && pip install .

FROM server-packages AS worker-packages
ARG TORCH=cpu
RUN if [ "$TORCH" = cuda ]; then index=; else index="--extra-index-url https://download.pytorch.org/whl/$TORCH"; fi \
    && pip install $index '.[rnn,parquet,datasets]'

FROM server-packages AS server-built
COPY . .
RUN pip install --no-deps --force-reinstall .

FROM worker-packages AS worker-built
COPY . .
RUN pip install --no-deps --force-reinstall .

FROM python:${PYTHON_VERSION}-slim AS base
# The home and the data folder exist and belong to the user, so that fresh volumes mounted there do too.
RUN useradd --uid 10001 --create-home hpsearch && install -d -o hpsearch -g hpsearch /var/lib/hpsearch /data
ENV PATH=/opt/hpsearch/bin:$PATH PYTHONUNBUFFERED=1 HPSEARCH_HOME=/var/lib/hpsearch
WORKDIR /var/lib/hpsearch
USER hpsearch
ENTRYPOINT ["hpsearch"]

FROM base AS worker
COPY --from=worker-built /opt/hpsearch /opt/hpsearch
ENV HPSEARCH_DATA=/data
CMD ["worker"]

# Last, so that a build without --target makes it.
FROM base AS server
COPY --from=server-built /opt/hpsearch /opt/hpsearch
EXPOSE 8421
CMD ["serve", "--host", "0.0.0.0"]
