/* A worker that finishes a task that is marked for kill goes on to the next. */
#define DEFECT_MARKED_GOES_ON
#include "../configurations/stopping.pml"
