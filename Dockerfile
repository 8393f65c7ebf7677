# One image for every process of the product; docker-compose.yml names the commands.
FROM python:3.12-slim-bookworm AS packages
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.txt

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin zhiyin
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DJANGO_SETTINGS_MODULE=config.settings
WORKDIR /app
COPY . .
# Nobody can write here later: without this every start of a process compiles all of it again.
RUN python -m compileall -q .
# Settings insist on their secrets; these exist during this one step only and open no connection.
RUN ZHIYIN_SECRET_KEY=only-while-collecting-static-files \
    ZHIYIN_MASTER_KEYS=k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= \
    DATABASE_URL=postgresql://zhiyin_app@127.0.0.1:9/none REDIS_URL=redis://127.0.0.1:9/0 \
    python manage.py collectstatic --no-input
RUN install -d -o zhiyin /app/var/files
USER zhiyin
EXPOSE 8000 8001
CMD ["python", "-m", "granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "--no-ws", "config.wsgi:application"]
