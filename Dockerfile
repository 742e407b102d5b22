# docker build -t swis . && docker run --rm swis            (make run)
#                           docker run --rm swis make test
FROM python:3.11-slim
ENV PIP_NO_CACHE_DIR=1
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /swis
COPY . .
# the set-up of `make run`, kept in the image
RUN make .venv/.installed
CMD ["make", "run"]
