# One image for every role: the program, Python for the tasks and for compiling
# sources at submit, and an init that reaps what tasks leave behind. The
# database is elsewhere: set DATABASE_URL.
#
#   docker build --build-arg VERSION="$(git describe --always --dirty)" -t allcores .

FROM golang:1.26-bookworm AS build
WORKDIR /src
# The image sets "local", which would ignore the release that go.mod names.
ENV GOTOOLCHAIN=auto
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.stamped=$VERSION" -o /allcores ./cmd/web

FROM python:3.13-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/allcores allcores
COPY --from=build /allcores /usr/local/bin/allcores
COPY LICENSE NOTICE /usr/share/doc/allcores/
USER allcores
WORKDIR /var/lib/allcores
ENV ALLCORES_ADDR=0.0.0.0:8080 \
    ALLCORES_DATA=/var/lib/allcores
EXPOSE 8080
# Tasks in hand get their grace period after this signal; see -grace.
STOPSIGNAL SIGTERM
# Whether the process lives. That it is ready, which needs the database, is at
# /readyz: a restart does not mend an outage.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["tini", "--", "allcores"]
