# SPDX-License-Identifier: Apache-2.0
# The server with its weights; see docs/server.md. Build: docker build -t cxr-cf .
# CPU wheels of torch (a fifth of the size):
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu -t cxr-cf .
FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=https://pypi.org/simple
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY constraints.txt ./
RUN python -m venv /opt/cxr-cf \
 && torch="$(grep -E '^torch==' constraints.txt)" \
 && /opt/cxr-cf/bin/pip install --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple "$torch"
COPY pyproject.toml README.md LICENSE ./
COPY monai_cxr_cf ./monai_cxr_cf
COPY bundles ./bundles
COPY slicer_extension ./slicer_extension
RUN /opt/cxr-cf/bin/pip install -c constraints.txt '.[server]'

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home cxr \
 && install --directory --owner=cxr --mode=0700 /data
COPY --from=build /opt/cxr-cf /opt/cxr-cf
ENV PATH=/opt/cxr-cf/bin:$PATH OMP_NUM_THREADS=4 OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
# Off loopback the server refuses to start without CXR_CF_SERVER_KEY.
ENTRYPOINT ["cxr-cf", "serve", "--host", "0.0.0.0", "--data", "/data"]
