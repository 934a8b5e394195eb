/* Nobody rings for the rings that a dead worker had still to make. */
#define DEFECT_NO_RING_FOR_DEATHS
#include "../configurations/death.pml"
