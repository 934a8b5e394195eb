/* Some of the tasks that are asked to ring are done, and the one that is left is slow. So the code once was. */
#define DEFECT_REFILL_WAITS_FOR_SLOW_TASK
#include "../configurations/backlog.pml"
