/* Some of the tasks to be marked are done, and what is marked is a slow one. So the code once was. */
#define DEFECT_REFILL_WAITS_FOR_SLOW_TASK
#include "../configurations/backlog.pml"
