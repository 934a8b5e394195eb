/* Whoever stops idling does not wake the next. */
#define DEFECT_NO_SPREAD
#include "../configurations/batch.pml"
