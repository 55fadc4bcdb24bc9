"""advisor: why did each case fail, and what is the cheapest cure?"""
