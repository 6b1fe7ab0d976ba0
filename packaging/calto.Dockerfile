# docker build -f packaging/calto.Dockerfile -t calto .
# docker run --network host -v calto:/data calto
#
# The host's network: the relay needs thousands of ports, and Docker's port mapping hides addresses.
FROM python:3.13-slim
COPY pyproject.toml README.md LICENSE /src/
COPY natkit /src/natkit
COPY calto_demo /src/calto_demo
RUN pip install --no-cache-dir '/src[calto,server]' && rm -r /src
RUN install -d -o 65534 -g 65534 /data
USER 65534:65534
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["calto", "serve"]
CMD ["--listen", "0.0.0.0:8000", "--log-format", "json"]
