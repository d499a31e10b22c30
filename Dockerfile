# The HTTP service with the pretrained weights: docker build -t sentinode . && docker run -p 127.0.0.1:8000:8000 sentinode
FROM python:3.13-slim
COPY . /source
RUN pip install --no-cache-dir -c /source/constraints.txt '/source[serve]' && rm -rf /source \
 && useradd --create-home sentinode
USER sentinode
# Exports the weights into the cache, so that the service starts in seconds.
RUN python -c 'import sentinode; sentinode.load_run("d4net-m").session("onnxruntime")'
EXPOSE 8000
HEALTHCHECK CMD python -c 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:8000/health", timeout=5)'
ENTRYPOINT ["sentinode", "serve", "--host", "0.0.0.0"]
