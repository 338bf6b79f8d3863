/* Sets the clock to so many seconds since 1970. Debian's busybox cannot, past January 2038, on 32-bit machines. */
#include <stdlib.h>
#include <sys/time.h>

int main(int count, char **arguments) {
	struct timeval now = {0};
	if (count != 2)
		return 2;
	now.tv_sec = atoll(arguments[1]);
	return settimeofday(&now, NULL) != 0;
}
