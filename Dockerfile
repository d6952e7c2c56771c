# One image for a class (JupyterHub), Binder, development containers and a single reader:
#   docker build -t dldna . && docker run --rm -p 8888:8888 dldna
# The kernel's program, the crate and JupyterLab are built inside, so that a notebook opens in seconds and offline.
FROM rust:1.95.0-slim-trixie

# Debian keeps the newest versions only, so none can be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# Binder and JupyterHub expect this user.
ARG NB_USER=jovyan
ARG NB_UID=1000
RUN useradd --create-home --uid "$NB_UID" "$NB_USER" && install --directory --owner "$NB_USER" /opt/dldna
USER $NB_USER
ENV HOME=/home/$NB_USER
WORKDIR /opt/dldna

COPY --chown=$NB_UID . .
# Set up as on any machine; JupyterLab then only says its version. What cargo downloaded and compiled on the way is not needed any more.
RUN cargo lab -- --version \
    && .lab/venv/bin/pip install --no-cache-dir jupyterhub==6.1.1 notebook==7.6.5 \
    && rm -rf target /usr/local/cargo/registry/cache

ENV PATH=/opt/dldna/.lab/venv/bin:$PATH \
    DLDNA_REPOSITORY=/opt/dldna \
    DLDNA_LAB=/opt/dldna/.lab
EXPOSE 8888
ENTRYPOINT ["/opt/dldna/container/start"]
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
