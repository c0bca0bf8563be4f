from dashboard.pages import findings


def test_categories_that_lead_equally_often_are_all_named() -> None:
    rows = [
        {"country": "Albania", "category": "art", "category_count": 2},
        {"country": "Austria", "category": "travel", "category_count": 2},
    ]
    assert findings._by_country(rows).startswith("art and travel lead most often: each alone in 1 of 2 countries")
    assert findings._by_country(rows[:1]).startswith("art leads most often: alone in 1 of 1 countries")
