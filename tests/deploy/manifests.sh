# shellcheck shell=bash disable=SC2154
# The manifests of Kubernetes. Sourced by run.

tests+=(
  manifests_are_valid_in_every_supported_version
  the_control_plane_keeps_to_the_restricted_profile
  every_rule_of_the_restricted_profile_is_checked
  nodes_never_use_the_engine_of_their_machine
  what_manifests_refer_to_is_there
)

versions=(1.31 1.33 1.35 1.37)

kustomize() { # kustomize FOLDER: as YAML
  kubectl kustomize "deploy/kubernetes/$1"
}

json() { python3 tests/deploy/manifests.py json; }

# The agents' overlay with the component that is a comment in it.
with_component() {
  mkdir -p "$work/kubernetes/overlays"
  cp -r deploy/kubernetes/{components,overlays} "$work/kubernetes/"
  sed -i 's/^# components:/components:/; s/^#   - /  - /' "$work/kubernetes/overlays/agents/kustomization.yaml"
  kubectl kustomize "$work/kubernetes/overlays/agents"
}

control_plane_pod() { kustomize overlays/sqlite | json | jq -s '.[] | select(.kind == "Deployment") | .spec.template'; }

manifests_are_valid_in_every_supported_version() {
  local overlay
  for overlay in base overlays/sqlite overlays/agents; do
    kustomize "$overlay" | python3 tests/deploy/manifests.py validate "${versions[@]}"
  done
  with_component >"$work/with-component"
  grep -q 'runtimeClassName: kata' "$work/with-component"
  python3 tests/deploy/manifests.py validate "${versions[@]}" <"$work/with-component"
  # The check can fail.
  kustomize base | sed 's/readOnlyRootFilesystem: true/readOnlyRootFileSystem: true/' >"$work/misspelt"
  not python3 tests/deploy/manifests.py validate "${versions[0]}" <"$work/misspelt" >/dev/null
}

the_control_plane_keeps_to_the_restricted_profile() {
  local wrong
  wrong=$(control_plane_pod | jq -f tests/deploy/restricted.jq)
  [[ $wrong == "[]" ]] || fail "$wrong"
  kustomize base | json | jq -se 'any(.kind == "Namespace" and .metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted")'
}

every_rule_of_the_restricted_profile_is_checked() {
  local change found
  control_plane_pod >"$work/pod"
  while read -r change; do
    found=$(jq "$change" "$work/pod" | jq -f tests/deploy/restricted.jq | jq length)
    ((found > 0)) || fail "this is allowed: $change"
  done <<'CHANGES'
.spec.hostNetwork = true
.spec.hostPID = true
.spec.hostIPC = true
.spec.volumes += [{"name": "x", "hostPath": {"path": "/"}}]
.spec.securityContext.sysctls = [{"name": "kernel.msgmax", "value": "1"}]
.spec.containers[0].securityContext.privileged = true
del(.spec.containers[0].securityContext.allowPrivilegeEscalation)
del(.spec.containers[0].securityContext.capabilities)
.spec.containers[0].securityContext.capabilities.drop = ["NET_RAW"]
.spec.containers[0].securityContext.capabilities.add = ["SYS_ADMIN"]
del(.spec.securityContext.runAsNonRoot)
.spec.containers[0].securityContext.runAsNonRoot = false
.spec.securityContext.runAsUser = 0
del(.spec.securityContext.seccompProfile)
.spec.containers[0].securityContext.seccompProfile.type = "Unconfined"
.spec.securityContext.appArmorProfile.type = "Unconfined"
.spec.securityContext.seLinuxOptions.type = "spc_t"
.spec.containers[0].securityContext.procMount = "Unmasked"
.spec.containers[0].ports[0].hostPort = 7400
.spec.containers[0].livenessProbe.httpGet.host = "10.0.0.1"
del(.spec.containers[0].securityContext.readOnlyRootFilesystem)
.spec.initContainers = [{"name": "x", "image": "y"}]
CHANGES
}

nodes_never_use_the_engine_of_their_machine() {
  kustomize overlays/agents | json | jq -s '.[] | select(.kind == "DaemonSet") | .spec.template.spec' >"$work/pod"
  jq -e '[.volumes[] | select(.hostPath) | .hostPath.path] as $paths
    | ($paths | length) > 0 and all($paths[]; startswith("/var/lib/hearth-node/"))' "$work/pod"
  jq -e '(.hostNetwork, .hostPID, .hostIPC) != true and .containers[0].livenessProbe == null' "$work/pod"
  # It joins by a token for hearth alone, and has none for the API server.
  jq -e '.automountServiceAccountToken == false
    and ([.volumes[].projected.sources[]?.serviceAccountToken.audience] == ["hearth"])' "$work/pod"
  # Nothing but nodes' machines.
  jq -e '.nodeSelector["hearth.dev/node"] == "true" and (.tolerations | length) == 1 and .containers[0].lifecycle.preStop != null' "$work/pod"
}

what_manifests_refer_to_is_there() {
  local overlay
  for overlay in overlays/sqlite overlays/agents; do
    kustomize "$overlay" | json | jq -s '
      [.[] | "\(.kind)/\(.metadata.name)"] as $there
      # What an operator makes: docs/runbook.md.
      | ($there + ["Secret/hearth-ca", "Secret/hearth-admin", "Secret/hearth-signing", "ConfigMap/hearth-ca"]) as $there
      | [.[] | .spec.template.spec? // empty
          | "ServiceAccount/\(.serviceAccountName)",
            (.containers[].envFrom[]?.configMapRef.name | "ConfigMap/\(.)"),
            (.volumes[] | (.secret.secretName // empty | "Secret/\(.)"), (.configMap.name // empty | "ConfigMap/\(.)"),
              (.persistentVolumeClaim.claimName // empty | "PersistentVolumeClaim/\(.)"))]
      | length > 0 and . - $there == []' | grep -qx true
  done
  # Each setting is a flag of the program that gets it.
  settings_are_flags hearth-control-plane "$(kustomize overlays/sqlite)"
  settings_are_flags hearth-agent "$(kustomize overlays/agents)"
  # Pods of this service account are the nodes that the control plane lets in.
  kustomize overlays/sqlite | grep -qx '  HEARTH_KUBERNETES_NODES: hearth-nodes/hearth-agent'
  kustomize overlays/agents | json | jq -se 'any(.kind == "ServiceAccount" and .metadata.name == "hearth-agent" and .metadata.namespace == "hearth-nodes")'
  # The name that agents call is one of the certificate.
  kustomize overlays/agents | grep -qx '  HEARTH_CONTROL_PLANE: https://hearth-control-plane.hearth.svc:7400'
  kustomize overlays/sqlite | grep -q '  HEARTH_TLS_NAMES: hearth-control-plane.hearth.svc,'
}

settings_are_flags() { # settings_are_flags PROGRAM TEXT
  local name unknown=()
  "$binaries/$1" --help >"$work/help"
  while read -r name; do
    grep -q "\[env: $name=" "$work/help" || unknown+=("$name")
  done < <(grep -oE 'HEARTH_[A-Z_]+' <<<"$2" | sort -u)
  ((${#unknown[@]} == 0)) || fail "$1 has no flag for ${unknown[*]}"
}
