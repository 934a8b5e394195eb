/* A claim that is no full fence: the worker looks at the next slot before its current is seen. */
#define DEFECT_NO_FENCE_AT_CLAIM
#include "../configurations/wakeups.pml"
