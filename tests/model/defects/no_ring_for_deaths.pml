/* Nobody rings for the rings that a dead worker owed. */
#define DEFECT_NO_RING_FOR_DEATHS
#include "../configurations/death.pml"
