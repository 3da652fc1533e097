/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where an OCF agent is on this host and the environment it runs in; nothing of the daemon's own environment gets through. */
#include "clusterd/io/agent_runner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "units.h"

static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
	       c == '.';
}

/* A path component that cannot lead out of its directory. */
static bool word_valid(const char *s, size_t len)
{
	if (!len || s[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!word_char(s[i]))
			return false;
	return true;
}

bool agent_name_valid(const char *agent)
{
	const char *provider, *type;

	if (!agent || strlen(agent) >= AGENT_NAME_SIZE || strncmp(agent, "ocf:", 4) != 0)
		return false;
	provider = agent + 4;
	type = strchr(provider, ':');
	return type && word_valid(provider, (size_t)(type - provider)) && word_valid(type + 1, strlen(type + 1));
}

bool agent_params_next(const char **cursor, const char **name, size_t *name_len, const char **value, size_t *value_len)
{
	const char *p = *cursor;
	const char *end, *equal;

	while (*p == '\n')
		p++;
	if (!*p)
		return false;
	end = strchrnul(p, '\n');
	equal = memchr(p, '=', (size_t)(end - p));
	*name = p;
	*name_len = (size_t)((equal ? equal : end) - p);
	*value = equal ? equal + 1 : end;
	*value_len = (size_t)(end - *value);
	*cursor = end;
	return true;
}

bool agent_params_valid(const char *params)
{
	const char *name, *value;
	size_t name_len, value_len;

	if (strlen(params) >= PARAMS_SIZE)
		return false;
	while (agent_params_next(&params, &name, &name_len, &value, &value_len)) {
		if (!word_valid(name, name_len) || name[name_len] != '=')
			return false;
		for (size_t i = 0; i < value_len; i++)
			if ((unsigned char)value[i] < ' ' && value[i] != '\t')
				return false;
	}
	return true;
}

static int path_try(char path[AGENT_PATH_SIZE], struct stat *st, const char *dir, const char *sub, const char *agent)
{
	const char *type = strchr(agent + 4, ':');
	int n = snprintf(path, AGENT_PATH_SIZE, "%s%s/%.*s/%s", dir, sub, (int)(type - agent - 4), agent + 4, type + 1);

	if (n >= AGENT_PATH_SIZE || stat(path, st) < 0)
		return -ENOENT;
	return S_ISREG(st->st_mode) && !access(path, X_OK) ? 0 : -EACCES;
}

int agent_path(const struct agents *a, const char *agent, char path[AGENT_PATH_SIZE], struct stat *st, char *error)
{
	int r = -ENOENT;

	for (unsigned int i = 0; r == -ENOENT && a->agent_dirs[i]; i++)
		r = path_try(path, st, a->agent_dirs[i], "", agent);
	if (r == -ENOENT)
		r = path_try(path, st, a->ocf_root, "/resource.d", agent);
	if (r == -ENOENT)
		snprintf(error, AGENT_REPORT_SIZE,
			 "%s is not installed on %s: no %s; install its package (Debian: resource-agents) or correct the name",
			 agent, a->node_name, path);
	else if (r == -EACCES)
		snprintf(error, AGENT_REPORT_SIZE, "%s is not executable on %s: chmod 755 %s", agent, a->node_name, path);
	return r;
}

__attribute__((format(printf, 2, 3))) static int var_add(struct agent_environ *env, const char *format, ...)
{
	size_t left = sizeof(env->bytes) - env->used;
	va_list args;
	int n;

	if (env->count == AGENT_VARS_MAX)
		return -E2BIG;
	va_start(args, format);
	n = vsnprintf(env->bytes + env->used, left, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= left)
		return -E2BIG;
	env->vars[env->count++] = env->bytes + env->used;
	env->used += (size_t)n + 1;
	return 0;
}

static int params_add(struct agent_environ *env, const char *params)
{
	const char *name, *value;
	size_t name_len, value_len;
	int r = 0;

	while (!r && agent_params_next(&params, &name, &name_len, &value, &value_len))
		r = var_add(env, "OCF_RESKEY_%.*s=%.*s", (int)name_len, name, (int)value_len, value);
	return r;
}

static int migration_add(struct agent_environ *env, const struct request *rq)
{
	int r = 0;

	if (rq->migrate_source[0])
		r = var_add(env, "OCF_RESKEY_CRM_meta_migrate_source=%s", rq->migrate_source);
	if (!r && rq->migrate_target[0])
		r = var_add(env, "OCF_RESKEY_CRM_meta_migrate_target=%s", rq->migrate_target);
	return r;
}

/*
 * The names are Pacemaker's where agents of the field look at them (CRM_meta_*). HA_LOGFACILITY=none makes ocf_log write to
 * stderr, which we capture; HA_debug=0 keeps its debug lines away. ocf_is_probe() looks at CRM_meta_interval.
 */
int agent_environ_build(struct agent_environ *env, const struct agents *a, const struct request *rq)
{
	const char *provider = rq->agent + 4;
	const char *type = strchr(provider, ':');
	const char *fixed[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LC_ALL=C",
		"HOME=/root",
		"USER=root",
		"LOGNAME=root",
		"SHELL=/bin/sh",
		"OCF_RA_VERSION_MAJOR=1",
		"OCF_RA_VERSION_MINOR=1",
		"HA_LOGFACILITY=none",
		"HA_logfacility=none",
		"HA_debug=0",
		"HA_cluster_type=corosync",
	};
	int r = 0;

	env->count = env->used = 0;
	for (size_t i = 0; !r && i < ARRAY_SIZE(fixed); i++)
		r = var_add(env, "%s", fixed[i]);
	r = r ?: var_add(env, "OCF_ROOT=%s", a->ocf_root);
	r = r ?: var_add(env, "HA_RSCTMP=%s", a->rsctmp);
	r = r ?: var_add(env, "CLUSTERD_CLUSTER=%s", a->cluster_name);
	r = r ?: var_add(env, "CLUSTERD_NODE=%s", a->node_name);
	r = r ?: var_add(env, "OCF_RESOURCE_INSTANCE=%s", rq->resource);
	r = r ?: var_add(env, "OCF_RESOURCE_PROVIDER=%.*s", (int)(type - provider), provider);
	r = r ?: var_add(env, "OCF_RESOURCE_TYPE=%s", type + 1);
	r = r ?: var_add(env, "OCF_CHECK_LEVEL=%u", rq->level);
	r = r ?: var_add(env, "OCF_RESKEY_OCF_CHECK_LEVEL=%u", rq->level);
	r = r ?: var_add(env, "OCF_RESKEY_CRM_meta_name=%s", agent_action_name(rq->action));
	r = r ?: var_add(env, "OCF_RESKEY_CRM_meta_on_node=%s", a->node_name);
	r = r ?: var_add(env, "OCF_RESKEY_CRM_meta_timeout=%u", rq->timeout_ms);
	r = r ?: var_add(env, "OCF_RESKEY_CRM_meta_interval=%u", rq->interval_ms);
	r = r ?: migration_add(env, rq);
	if (rq->epoch)
		r = r ?: var_add(env, "CLUSTERD_EPOCH=%llu", (unsigned long long)rq->epoch);
	r = r ?: params_add(env, rq->params);
	for (char **e = a->environment; !r && e && *e; e++)
		r = var_add(env, "%s", *e);
	env->vars[env->count] = NULL;
	return r;
}
