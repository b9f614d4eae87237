# Two programs, two images: `docker build --target web .` (no torch) and `docker build --target worker .`

FROM python:3.11-slim AS source
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/tuning-fork
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY app app
COPY templates templates
COPY static static
COPY alembic alembic
RUN useradd --create-home --uid 10001 fork && mkdir /data && chown fork /data

FROM source AS web
RUN pip install -c constraints.txt -e .
USER fork
ENV TUNING_FORK_WEB_HOST=0.0.0.0 TUNING_FORK_WEB_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8000/readyz').raise_for_status()"]
CMD ["tuning-fork", "web"]

FROM source AS worker
RUN pip install -c constraints.txt -e '.[worker]'
USER fork
ENV TUNING_FORK_WORKER_HOST=0.0.0.0 TUNING_FORK_WORKER_DATA_DIR=/data
VOLUME /data
EXPOSE 8001
HEALTHCHECK --interval=15s --timeout=3s CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8001/healthz').raise_for_status()"]
CMD ["tuning-fork", "worker"]
