# Write make variables from the first comments of test programs, which say what
# a test is linked with beside itself:
#
#	/* sources: common/imsg.c common/wire.c */
#	/* libs: event_core bsd */
#
# give WITH_<file without .c> and LIBS_<file without .c>.  A fuzz target says
# which files its corpus must reach:
#
#	/* covers: common/imsg.c */
#
# and COVERED has them all.

FNR == 1 {
	head = 1
	to = ""
	test = FILENAME
	sub(/\.c$/, "", test)
}
/^#/ {
	head = 0
}
head {
	for (i = 1; i <= NF; i++) {
		if ($i == "sources:")
			to = "WITH_"
		else if ($i == "libs:")
			to = "LIBS_"
		else if ($i == "covers:")
			to = "COVERED"
		else if ($i == "/*" || $i == "*/")
			to = ""
		else if ($i != "*" && to != "")
			print (to == "COVERED" ? to : to test) " += " $i
	}
}
