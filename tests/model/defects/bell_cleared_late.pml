/* A worker clears its bell after its asleep bit is set, and with it a ring that came between. */
#define DEFECT_BELL_CLEARED_LATE
#include "../configurations/wakeups.pml"
