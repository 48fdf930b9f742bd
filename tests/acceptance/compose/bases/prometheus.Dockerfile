# In place of prom/prometheus: its user, its folder and its wget.
FROM localhost/llmos-test/debian
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends prometheus wget \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt \
    && install --directory --owner nobody --group nogroup /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
