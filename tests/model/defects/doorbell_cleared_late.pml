/* A worker clears its doorbell after its asleep bit is set, and with it a ring that came between. */
#define DEFECT_DOORBELL_CLEARED_LATE
#include "../configurations/wakeups.pml"
