{{/* Checks that a JSON Schema cannot express. */}}
{{- define "podbook.check" -}}
{{- if and .Values.minio.enabled (or .Values.s3.endpoint .Values.s3.existingSecret .Values.s3.accessKey) -}}
{{- fail "s3.endpoint, s3.existingSecret or s3.accessKey select your own object store, but minio.enabled is true: set minio.enabled=false to use yours, or leave the s3 values empty to use MinIO" -}}
{{- end -}}
{{- if and .Values.s3.accessKey (not .Values.s3.secretKey) -}}
{{- fail "s3.accessKey is set but s3.secretKey is not: set both, or set s3.existingSecret to a Secret with both" -}}
{{- end -}}
{{- if eq (include "podbook.runsNamespace" .) .Release.Namespace -}}
{{- fail "runs.namespace is the release's own namespace: notebooks need a separate namespace, isolated from everything else" -}}
{{- end -}}
{{- if and .Values.examples.enabled .Values.keys.existingSecret (not .Values.examples.keySecret) -}}
{{- fail "examples.enabled needs an API key to publish with: with keys.existingSecret, set examples.keySecret to a Secret that contains one" -}}
{{- end -}}
{{- include "podbook.checkNamespace" . -}}
{{- include "podbook.checkLeftBehind" . -}}
{{- end -}}

{{/*
The release that owns an object of the cluster, by Helm's annotations, as JSON with name and namespace (both empty: not owned by a Helm release).
Empty when there is no such object or it is this release's own; without a cluster (helm template) there are no objects.
*/}}
{{- define "podbook.otherOwner" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- $owner := dict "name" (get $annotations "meta.helm.sh/release-name") "namespace" (get $annotations "meta.helm.sh/release-namespace") -}}
{{- if or (ne $owner.name $root.Release.Name) (ne $owner.namespace $root.Release.Namespace) -}}
{{- toJson $owner -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The release that manages the cluster's definition, if that is another one that is still installed: then this release leaves it
alone. JSON with name, namespace and version; empty otherwise.
*/}}
{{- define "podbook.definitionOwner" -}}
{{- if .Values.crds.enabled -}}
{{- $definition := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "notebookexecutions.podbook.dev" -}}
{{- with include "podbook.otherOwner" (list . $definition) -}}
{{- $owner := fromJson . -}}
{{- if $owner.name -}}
{{- if lookup "apps/v1" "Deployment" $owner.namespace (printf "%s-operator" (include "podbook.fullname" (dict "Release" (dict "Name" $owner.name)))) -}}
{{- $labels := $definition.metadata.labels | default dict -}}
{{- toJson (set $owner "version" (get $labels "app.kubernetes.io/version")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Two operators in one namespace would each treat the other's executions as their own. */}}
{{- define "podbook.checkNamespace" -}}
{{- $root := . -}}
{{- $runs := include "podbook.runsNamespace" . -}}
{{- range (lookup "v1" "ServiceAccount" $runs "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- if and (eq (get $labels "app.kubernetes.io/name") "podbook") (eq (get $labels "app.kubernetes.io/component") "runner") -}}
{{- with include "podbook.otherOwner" (list $root .) -}}
{{- $owner := fromJson . -}}
{{- fail (printf "namespace %s holds the runs of release %s in namespace %s: set runs.namespace to another one; two releases cannot share a namespace" $runs $owner.name $owner.namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Objects in the cluster that no release manages: created by hand, or left by a release that was uninstalled. Helm would only say that it
cannot import them. The administrator hands them over, as they contain executions; the commands shown work with every Helm version.
*/}}
{{- define "podbook.checkLeftBehind" -}}
{{- $root := . -}}
{{- $found := list -}}
{{- if and .Values.crds.enabled (not (include "podbook.definitionOwner" .)) -}}
{{- $name := "notebookexecutions.podbook.dev" -}}
{{- $object := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
{{- $found = append $found (dict "object" $object "type" "customresourcedefinition" "name" $name "otherwise" "set crds.enabled=false to use it as it is") -}}
{{- end -}}
{{- if .Values.runs.createNamespace -}}
{{- $name := include "podbook.runsNamespace" . -}}
{{- $object := lookup "v1" "Namespace" "" $name -}}
{{- $found = append $found (dict "object" $object "type" "namespace" "name" $name "otherwise" "set runs.createNamespace=false to use it as it is, or runs.namespace to use another one") -}}
{{- end -}}
{{- $advice := list -}}
{{- range $found -}}
{{- $left := . -}}
{{- with include "podbook.otherOwner" (list $root .object) -}}
{{- $owner := fromJson . -}}
{{- $of := ternary (printf "belongs to release %s in namespace %s, which is not or no longer an installation of Podbook" $owner.name $owner.namespace) "was not made by Helm" (ne $owner.name "") -}}
{{- $advice = append $advice (printf "%s %s is there already and %s: %s, or hand it over to this release:" $left.type $left.name $of $left.otherwise) -}}
{{- $advice = append $advice (printf "  kubectl label --overwrite %s %s app.kubernetes.io/managed-by=Helm" $left.type $left.name) -}}
{{- $advice = append $advice (printf "  kubectl annotate --overwrite %s %s meta.helm.sh/release-name=%s meta.helm.sh/release-namespace=%s" $left.type $left.name $root.Release.Name $root.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- with $advice -}}
{{- fail (join "\n" .) -}}
{{- end -}}
{{- end -}}
