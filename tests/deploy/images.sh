# shellcheck shell=bash disable=SC2154
# The images. Sourced by run.

tests+=(images_are_the_same_when_they_are_built_again images_have_what_they_need_and_say_what_they_have the_control_plane_runs_as_its_manifest_says)
long_tests+=(the_nodes_image_is_the_same_when_it_is_built_again a_node_runs_as_its_manifest_says)

# The programs without what only debuggers read, as they are released.
programs() {
  [[ -d $work/programs ]] && return
  mkdir "$work/programs"
  local program
  for program in hearth hearth-agent hearth-control-plane; do
    if command -v strip >/dev/null; then strip -o "$work/programs/$program" "$binaries/$program"; else cp "$binaries/$program" "$work/programs/"; fi
  done
}

build() { # build OUTPUT IMAGE...
  programs
  deploy/docker/build --binaries "$work/programs" --output "$@"
}

small() { [[ -e $work/images/control-plane.tar ]] || build "$work/images" control-plane cli >"$work/digests"; }

layer_of() { # layer_of ARCHIVE [NUMBER]: the files of a layer
  local layer
  layer=$(tar -xOf "$1" ./manifest.json | jq -r ".[0].Layers[${2:-0}]")
  tar -xOf "$1" "./$layer" | gunzip
}

images_are_the_same_when_they_are_built_again() {
  small
  # As somebody else, somewhere else.
  mkdir -p "$work/elsewhere"
  cp "$work"/programs/* "$work/elsewhere/"
  (umask 077 && cd / && TZ=Asia/Tokyo LC_ALL=C "$root/deploy/docker/build" --binaries "$work/elsewhere" --output "$work/again" cli control-plane) | sort >"$work/digests-again"
  sort "$work/digests" | diff - "$work/digests-again"
  cmp "$work/images/control-plane.tar" "$work/again/control-plane.tar"
  cmp "$work/images/cli.tar" "$work/again/cli.tar"
  # Another time makes another image.
  [[ $(SOURCE_DATE_EPOCH=1 "$root/deploy/docker/build" --binaries "$work/programs" --output "$work/other" cli) != "$(grep cli "$work/digests")" ]]
}

images_have_what_they_need_and_say_what_they_have() {
  small
  local list=$work/list
  layer_of "$work/images/control-plane.tar" >"$work/layer"
  tar -tvf "$work/layer" >"$list"
  # Nothing to start but the program.
  [[ $(awk '$1 ~ /^-..x/ && $6 ~ /bin\// { print $6 }' "$list") == ./usr/bin/hearth-control-plane ]] || fail "$(<"$list")"
  grep -qE '^drwx------ 65532/65532 .* \./var/lib/hearth/$' "$list" || fail "$(<"$list")"
  [[ -z $(awk '$1 ~ /^...[sS]|^......[sS]/' "$list") ]] || fail "there are files with the set-uid bit"
  tar -xOf "$work/layer" ./etc/ssl/certs/ca-certificates.crt | grep -c 'BEGIN CERTIFICATE' | { read -r count; ((count > 50)); }
  tar -xOf "$work/layer" ./usr/share/doc/hearth/control-plane.cdx.json | cmp - "$work/images/control-plane.cdx.json"
  jq -e '.bomFormat == "CycloneDX" and .specVersion == "1.6"
    and any(.components[]; .name == "tokio" and (.purl | startswith("pkg:cargo/tokio@")) and .licenses != null)
    and any(.components[]; .name == "libc6" and (.purl | startswith("pkg:deb/")))' "$work/images/control-plane.cdx.json"
  # Each has what is in its own program.
  jq -e 'any(.components[]; .name == "sqlx")' "$work/images/control-plane.cdx.json"
  jq -e 'any(.components[]; .name == "sqlx") | not' "$work/images/cli.cdx.json"
  local config
  config=$(tar -xOf "$work/images/cli.tar" ./manifest.json | jq -r '.[0].Config')
  tar -xOf "$work/images/cli.tar" "./$config" | jq -e '.config.User == "65532:65532"
    and .config.Labels["org.opencontainers.image.licenses"] == "Apache-2.0" and .config.Labels["org.opencontainers.image.revision"] != ""'
}

# An engine with nothing in it.
engine() {
  [[ -e $work/vm ]] || deploy/local/vm start "$work/vm"
  export DOCKER_HOST=unix://$work/vm/docker.sock
}

# What operators make for the control plane: docs/runbook.md.
secrets() {
  local data=$work/data
  [[ ! -e $data ]] || return 0
  mkdir -p "$data"/{ca,admin,signing,state}
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=hearth \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$data/ca/tls.key" -out "$data/ca/tls.crt"
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$data/signing/signing.pem"
  openssl rand -hex 32 >"$data/admin/token"
  # The group of volumes and the mode of secrets, as the pod says.
  chown -R 0:65532 "$data"
  chmod 2775 "$data/state"
  chmod 440 "$data"/{ca,admin,signing}/*
}

arguments() { # arguments OVERLAY KIND: of docker run, one a line
  kustomize "$1" | json | jq -s '[.[] | select(.kind == "ConfigMap") | {key: .metadata.name, value: .data}] | from_entries' >"$work/settings"
  kustomize "$1" | json | jq -s ".[] | select(.kind == \"$2\") | .spec.template" |
    jq -r --arg data "$work/data" --argjson settings "$(<"$work/settings")" -f tests/deploy/docker.jq |
    # There is no API server here.
    sed 's/^HEARTH_KUBERNETES_NODES=.*/HEARTH_KUBERNETES_NODES=/'
}

answers() { # answers URL: waits for it, for a minute
  local end=$((SECONDS + 60))
  until curl --noproxy '*' --silent --fail --max-time 5 "$1"; do
    ((SECONDS < end)) || return 1
    sleep 0.25
  done
}

the_control_plane_runs_as_its_manifest_says() {
  small
  engine
  secrets
  docker load --quiet --input "$work/images/control-plane.tar"
  docker load --quiet --input "$work/images/cli.tar"
  local version arguments address
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
  mapfile -t arguments < <(arguments overlays/sqlite Deployment)
  [[ " ${arguments[*]} " == *" --user 65532:65532 --read-only --security-opt no-new-privileges --cap-drop ALL "* ]] || fail "${arguments[*]}"
  docker rm --force control-plane 2>/dev/null || true
  docker run --detach --name control-plane "${arguments[@]}" "localhost/hearth-control-plane:$version"
  address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' control-plane)
  answers "http://$address:7401/readyz" || { docker logs control-plane; return 1; }
  [[ -s $work/data/state/hearth.db && $(stat -c %u "$work/data/state/hearth.db") == 65532 ]]
  # It has what the manifest gives it, and nothing more.
  local process
  process=$(docker inspect --format '{{.State.Pid}}' control-plane)
  grep -qE '^CapEff:\s0+$' "/proc/$process/status"
  grep -qE '^NoNewPrivs:\s1$' "/proc/$process/status"
  grep -qE '^Seccomp:\s2$' "/proc/$process/status"
  # A client with its token and the CA's certificate, from another container.
  chmod -R a+rX "$work/data/ca" "$work/data/admin"
  docker run --rm --network container:control-plane --read-only --cap-drop ALL --volume "$work/data/ca:/ca:ro" --volume "$work/data/admin:/admin:ro" \
    "localhost/hearth-cli:$version" nodes --control-plane https://localhost:7400 --ca /ca/tls.crt --token-file /admin/token
  docker stop control-plane
  [[ $(docker inspect --format '{{.State.ExitCode}}' control-plane) == 0 ]] || { docker logs control-plane; return 1; }
}

the_nodes_image_is_the_same_when_it_is_built_again() {
  build "$work/images" agent >"$work/digest-agent"
  build "$work/again" agent | diff "$work/digest-agent" -
  jq -e 'any(.components[]; .name == "@devcontainers/cli") and any(.components[]; .name == "docker.io") and any(.components[]; .name == "bollard")' "$work/images/agent.cdx.json"
  rm -rf "$work/again"
}

# A control plane and a node in containers: no port of the node's is reached, and it has an engine of its own.
a_node_runs_as_its_manifest_says() {
  small
  [[ -e $work/images/agent.tar ]] || build "$work/images" agent
  engine
  secrets
  local version arguments
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
  docker load --quiet --input "$work/images/control-plane.tar"
  docker load --quiet --input "$work/images/cli.tar"
  docker load --quiet --input "$work/images/agent.tar"
  docker network create fleet 2>/dev/null || true
  docker rm --force control-plane node 2>/dev/null || true
  mapfile -t arguments < <(arguments overlays/sqlite Deployment)
  docker run --detach --name control-plane --network fleet --network-alias hearth-control-plane.hearth.svc "${arguments[@]}" "localhost/hearth-control-plane:$version"
  answers "http://$(docker inspect --format '{{.NetworkSettings.Networks.fleet.IPAddress}}' control-plane):7401/readyz" || { docker logs control-plane; return 1; }
  client() {
    docker run --rm --interactive --network fleet --volume "$work/data/ca:/ca:ro" --volume "$work/data/admin:/admin:ro" \
      "localhost/hearth-cli:$version" "$@" --control-plane https://hearth-control-plane.hearth.svc:7400 --ca /ca/tls.crt --token-file /admin/token
  }
  chmod -R a+rX "$work/data/ca" "$work/data/admin"
  # There is no API server here that would know a service account: a join token, instead.
  mkdir -p "$work/data"/{engine,token}
  mkdir -p "$work/join"
  client token create >"$work/join/token"
  cp "$work/data/ca/tls.crt" "$work/data/ca/ca.crt"
  mapfile -t arguments < <(arguments overlays/agents DaemonSet | sed '/^HEARTH_JOIN_SERVICE_ACCOUNT_TOKEN=/s/.*/HEARTH_JOIN_TOKEN_FILE=\/join\/token/')
  [[ " ${arguments[*]} " == *" --privileged "* ]]
  docker run --detach --name node --network fleet --env HEARTH_NODE_NAME=node-1 --volume "$work/join:/join:ro" "${arguments[@]}" "localhost/hearth-agent:$version"
  local try
  for ((try = 0; try < 120; try++)); do
    client nodes --output json | jq -e 'select(.name == "node-1" and .state == "NODE_STATE_ONLINE")' && break
    sleep 0.5
  done
  ((try < 120)) || { docker logs node; return 1; }
  # The engine is the container's own, with containerd's store, through which the agent moves images itself.
  docker exec node docker --host unix:///run/docker.sock info --format '{{json .DriverStatus}}' | grep -q io.containerd.snapshotter
  not docker exec node test -e /run/containerd/containerd.sock
  # Another agent, and the same engine.
  local engine
  engine=$(docker exec node cat /run/docker.pid)
  docker exec node bash -c 'kill -KILL "$(cat /run/hearth-node.agent)"'
  answers "http://$(docker inspect --format '{{.NetworkSettings.Networks.fleet.IPAddress}}' node):7411/readyz"
  [[ $(docker exec node cat /run/docker.pid) == "$engine" ]]
  # It leaves before it ends.
  docker exec node hearth-node drain
  client nodes --output json | jq -e 'select(.name == "node-1" and .state == "NODE_STATE_LEFT")'
  docker exec node bash -c "kill -0 $engine"
  docker stop --time 60 node
  [[ $(docker inspect --format '{{.State.ExitCode}}' node) == 0 ]] || { docker logs node; return 1; }
}
