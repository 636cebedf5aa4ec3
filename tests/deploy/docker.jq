# The arguments of `docker run`, one a line, that do as a pod of one container says: user, capabilities, privileges, file
# system, settings, volumes. Input: the pod's template. $data: the folder with one folder for each volume that is not
# made here; $settings: the data of its ConfigMaps, by their names.
.spec as $pod | $pod.containers[0] as $container
| ($pod.securityContext + $container.securityContext) as $security
| (if $security.runAsUser then "--user", "\($security.runAsUser):\($security.runAsGroup)" else empty end),
  (if $security.readOnlyRootFilesystem then "--read-only" else empty end),
  (if $security.privileged then "--privileged" else empty end),
  (if $security.allowPrivilegeEscalation == false then "--security-opt", "no-new-privileges" else empty end),
  ($security.capabilities.drop[]? | "--cap-drop", .),
  ($security.capabilities.add[]? | "--cap-add", .),
  ($container.envFrom[]?.configMapRef.name | $settings[.] // {} | to_entries[] | "--env", "\(.key)=\(.value)"),
  ($container.volumeMounts[] as $mount
    | ($pod.volumes[] | select(.name == $mount.name)) as $volume
    | if $volume.emptyDir then "--tmpfs", "\($mount.mountPath):mode=1777"
      else "--volume", "\($data)/\($mount.name):\($mount.mountPath)\(if $mount.readOnly then ":ro" else "" end)" end)
