# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzz targets: fuzz_NAME.c defines LLVMFuzzerTestOneInput and keeps its inputs in corpus/fuzz_NAME/. With any compiler
# they replay the corpus as tests; `make fuzz` builds them with clang's libFuzzer and runs them.

# A static library gives its main() only to a program that has none, so every test links it and only fuzzers use it.
check_LIBRARIES += libcluster-testmain.a
libcluster_testmain_a_SOURCES = \
	tests/fuzz/replay_main.c \
	$(NULL)

# make fuzz [FUZZ_SECONDS=n] [FUZZ=name ...]: each target that long, as many at once as there are CPUs.
FUZZ_SECONDS = 600
FUZZ = $(notdir $(fuzzers))
FUZZ_CFLAGS = -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all
FUZZ_SANITIZE = address,undefined
FUZZ_UNITS = $(filter %.c, \
	$(libcluster_proto_a_SOURCES) \
	$(libcluster_core_a_SOURCES) \
	$(libcluster_io_a_SOURCES) \
	$(libcluster_ctl_a_SOURCES) \
	$(libcluster_daemon_a_SOURCES))
FUZZ_OBJECTS = $(FUZZ_UNITS:%.c=fuzz.d/%.o)
FUZZ_COMPILE = $(FUZZ_CC) $(AM_CPPFLAGS) $(CPPFLAGS) -U_FORTIFY_SOURCE $(DEFS) $(FUZZ_CFLAGS)

fuzz.d/%.o: %.c
	@$(MKDIR_P) $(@D)
	$(AM_V_CC)$(FUZZ_COMPILE) -fsanitize=fuzzer-no-link,$(FUZZ_SANITIZE) -c -o $@ $<

fuzz.d/libcluster.a: $(FUZZ_OBJECTS)
	$(AM_V_AR)rm -f $@ && $(AR) crs $@ $(FUZZ_OBJECTS)

fuzz.d/bin/%: tests/fuzz/%.c fuzz.d/libcluster.a
	@$(MKDIR_P) $(@D)
	$(AM_V_CCLD)$(FUZZ_COMPILE) -fsanitize=fuzzer,$(FUZZ_SANITIZE) -o $@ $< fuzz.d/libcluster.a $(DEPENDENCY_LIBS)

.PHONY: fuzz fuzz-clean fuzz-build
# What was built; new inputs and what crashed stay.
fuzz-clean:
	rm -rf fuzz.d/bin fuzz.d/libcluster.a fuzz.d/proto fuzz.d/clusterd
fuzz-build: $(addprefix fuzz.d/bin/,$(FUZZ))
fuzz:
	@test -n "$(FUZZ_CC)" || { echo "make fuzz: no clang was found: install clang, then configure again" >&2; exit 1; }
	$(MAKE) $(AM_MAKEFLAGS) fuzz-clean
	$(MAKE) $(AM_MAKEFLAGS) fuzz-build
	$(BASH_PATH) $(srcdir)/tests/fuzz/fuzz_run.sh $(FUZZ_SECONDS) $(srcdir)/tests/fuzz $(FUZZ)
clean-local:
	rm -rf fuzz.d
EXTRA_DIST += \
	tests/fuzz/corpus \
	tests/fuzz/fuzz_run.sh \
	$(NULL)
fuzzers += \
	tests/fuzz/fuzz_agents \
	tests/fuzz/fuzz_change \
	tests/fuzz/fuzz_core \
	tests/fuzz/fuzz_frame \
	tests/fuzz/fuzz_object \
	tests/fuzz/fuzz_options \
	tests/fuzz/fuzz_state \
	tests/fuzz/fuzz_text \
	tests/fuzz/fuzz_volume \
	$(NULL)
noinst_HEADERS += \
	tests/fuzz/fuzz_require.h \
	tests/fuzz/fuzz_seal.h \
	$(NULL)
