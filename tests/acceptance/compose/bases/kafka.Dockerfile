# In place of apache/kafka; the context is a folder with Kafka's `libs` and an `image` folder that behaves as the official image does.
# Java's package fails without the folder for manuals, which a slim Debian lacks.
FROM localhost/llmos-test/debian
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt \
    && useradd --uid 1000 --create-home appuser
COPY libs /opt/kafka/libs
COPY image/bin /opt/kafka/bin
COPY image/config /etc/kafka/docker
COPY image/entrypoint.sh /entrypoint.sh
# Writable files, whatever they were: the entry point copies them with their modes, and writes to the copies.
RUN chmod -R u+w,go+r /etc/kafka/docker \
    && install --directory --owner appuser /opt/kafka/config /opt/kafka/logs /var/lib/kafka/data /mnt/shared/config
# A second start finds its folder formatted: the official image takes that for good, and so must this one.
RUN sed -i 's|--final-configs-dir /opt/kafka/config$|& \|\| echo "no set-up: formatted already, or Kafka will say why"|' /entrypoint.sh \
    && grep -q 'no set-up' /entrypoint.sh
USER appuser
ENTRYPOINT ["sh", "/entrypoint.sh"]
