/* A worker sleeps without looking for work after its asleep bit is set. */
#define DEFECT_NO_RECHECK_BEFORE_SLEEP
#include "../configurations/wakeups.pml"
