# One image for every role: the program, and Python for the tasks. The database
# is elsewhere: set DATABASE_URL.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /allcores ./cmd/web

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/allcores allcores
COPY --from=build /allcores /allcores
COPY LICENSE /usr/share/doc/allcores/LICENSE
USER allcores
WORKDIR /var/lib/allcores
ENV ALLCORES_ADDR=0.0.0.0:8080 \
    ALLCORES_DATA=/var/lib/allcores
EXPOSE 8080
# Tasks in hand get their grace period after this signal.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["/allcores"]
