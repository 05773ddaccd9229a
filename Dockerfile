# The application: one image for the backend and for the training worker.
# Label Studio pins older libraries of the same names and has an image of its own (docker-compose.yml).
FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# A number, not a name: orchestrators can then see that the user is not root.
RUN useradd --uid 10001 --user-group --home-dir /app --shell /usr/sbin/nologin recaption \
    && install -d -o 10001 -g 10001 /data /data/models

WORKDIR /app
COPY requirements.txt ./
# Both OpenCV wheels own the cv2/ folder, and the full one needs libGL, which this image has not.
# The headless one, put down last, is the same release without the windows.
RUN pip install -r requirements.txt \
    && pip install --force-reinstall --no-deps "$(grep '^opencv-python-headless==' requirements.txt)"

COPY settings.py ./
COPY model/ model/
COPY labeling/ labeling/
COPY trainer/ trainer/
COPY backend/ backend/

ENV HOST=0.0.0.0 \
    DATA_DIR=/data \
    MODEL_DIR=/data/models
VOLUME /data
EXPOSE 9090
USER 10001:10001

HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9090/health', timeout=2)"]
CMD ["python", "-m", "backend", "serve"]
