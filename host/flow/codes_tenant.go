package flow

// UF126x: tenants in a manifest. UF515x: tenants, tokens and deployments of a host.
const (
	// CodeCeiling: a tenant's manifest asks for more than its ceiling.
	CodeCeiling Code = "UF1260"
	// CodeTenant: a table of a tenant cannot be used.
	CodeTenant Code = "UF1261"
	// CodeTenantKey: a key has no place in the manifest of a tenant.
	CodeTenantKey Code = "UF1262"
	// CodeTenantSize: a tenant's manifest has more plugins, pipelines or schedules than its quota.
	CodeTenantSize Code = "UF1263"

	// CodeReviewed: what would be applied is not what was reviewed.
	CodeReviewed Code = "UF5150"
	// CodeForbidden: the token's role does not allow it.
	CodeForbidden Code = "UF5151"
	// CodeQuota: a quota of the tenant is used up.
	CodeQuota Code = "UF5152"
	// CodeRate: too many requests came with one token.
	CodeRate Code = "UF5153"
	// CodeTLS: the files of the certificate cannot be used.
	CodeTLS Code = "UF5154"
)

func tenantCodes() []Explanation {
	return []Explanation{
		{CodeCeiling, "More than the ceiling", "The operator's manifest says in `[tenants.NAME.ceiling]` what the plugins of a tenant may be granted at most. The tenant's manifest asks for more, so all of it is refused, and the version that runs goes on. Every excess is named, with the line of the ceiling.\n\nAsk for less, or ask the operator to raise the ceiling."},
		{CodeTenant, "The table of a tenant cannot be used", "A table `[tenants.NAME]` names the tenant's manifest, and may have a ceiling, a quota, a source of secrets, keys and defaults. A path with one `*` stands for many tenants: what the `*` matches is the name.\n\n    [tenants.acme]\n    manifest = \"acme/uniflow.toml\"\n\nThe message says what is wrong with it."},
		{CodeTenantKey, "No place in a tenant's manifest", "The manifest of a tenant holds plugins, pipelines, schedules and alerts. Settings of the host, defaults and other tenants are the operator's.\n\nRemove the table; what may be said for one pipeline stands on the pipeline."},
		{CodeTenantSize, "More than the quota allows", "`[tenants.NAME.quota]` bounds how many plugins, pipelines and schedules the manifest of a tenant has. The plugin files that it names have at most 1 GiB together, the calendar files 8 MiB.\n\nRemove some, or ask the operator to raise the quota."},
		{CodeReviewed, "Not what was reviewed", "`apply --expect DIGEST` applies the deployment that `uniflow plan` showed with that digest, and nothing else: a file has changed since.\n\nReview again with `uniflow plan`, and give the digest that it shows."},
		{CodeForbidden, "The role does not allow it", "Each token has a role: a viewer reads; an operator also starts and ends runs and enables schedules; an author also changes schedules, versions and state, and applies; an admin also makes tokens and reads the audit.\n\nUse a token with the role that the message names: `uniflow token create`."},
		{CodeQuota, "A quota is used up", "`[tenants.NAME.quota]` bounds what a tenant may use. The message says which bound was reached, how much there is and how much is used. A slot that comes due meanwhile is skipped, with the reason quota.\n\nWait until there is room, or ask the operator to raise the quota. `uniflow top` shows what is used."},
		{CodeRate, "Too many requests", "Each token may make a bounded number of requests in a second, and all tokens of a tenant together ten times as many, so that one program cannot keep the host busy.\n\nAsk less often: the header Retry-After says when the next request is served. `/v1/events/stream` tells of changes without asking."},
		{CodeTLS, "The certificate cannot be used", "`tls` under [host] names the PEM files of a certificate and its key. They cannot be read, or do not belong together. While a host serves, a pair that cannot be used leaves the last good one in place.\n\nCheck both paths: `cert` holds the certificate first and then those that lead to its root, `key` the private key."},
	}
}
