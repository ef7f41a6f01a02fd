# One image for every contactgate process. It holds exactly what requirements.lock says and runs without privileges.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/contactgate

COPY requirements.lock ./
RUN pip install --require-hashes --no-deps -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-build-isolation --no-deps . \
 && useradd --system --home-dir /var/lib/contactgate --create-home contactgate

USER contactgate
VOLUME /var/lib/contactgate
ENTRYPOINT ["contactgate"]
CMD ["--help"]
